"""The one storage layer: folders, object stores and web servers, atomic writes, retries."""
