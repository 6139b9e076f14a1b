"""From a YAML file and a command line to a checked TrainConfig; nothing here imports torch."""
