"""What an index folder holds on disk: containers of arrays, the manifest, locks, build folders."""
