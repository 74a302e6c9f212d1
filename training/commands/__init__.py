"""The commands of this room, a file each. Heavy imports stand in their bodies, so that help comes at once."""
