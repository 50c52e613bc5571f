"""The bytes that people bring and take: importers and exporters."""
