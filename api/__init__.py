"""What people and programs reach: the service behind every call, its socket, REST and the web page."""
