"""The files of an index folder: containers of arrays, the manifest, the lock, build folders."""
