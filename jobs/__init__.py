"""What the app and the training share: configuration, events, runs. Standard library only."""
