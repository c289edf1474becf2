"""The message bus: subjects and streams as data, a port, its JetStream driver, and the task log on top of the port."""
