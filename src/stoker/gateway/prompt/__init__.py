"""Make a chat request fit the backend that it is sent to."""
