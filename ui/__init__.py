"""The page: one file a page, and one each for the canvas, the charts, the sidebar and what they share."""
