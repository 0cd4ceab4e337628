"""What every request passes before it is read: origin and key."""
