"""Models behind HTTP: OpenAI-compatible servers, and llama.cpp's own endpoints."""
