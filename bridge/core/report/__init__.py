"""What is shown of a source and of an instance: by the status page, by `bridged status`, by everything that looks."""
