"""What makes files of the project itself: the calibration, the presets, the demo."""
