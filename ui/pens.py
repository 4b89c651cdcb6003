"""The canvas's size and its pens, from the finest to the thickest."""

SIDE = 320  # pixels: fits a 390 pixel wide phone with the page's margins
PENS = {"fine": 6, "thin": 12, "medium": 20, "thick": 30}  # pixels wide
