"""The bundled sample and the script that packs it."""
