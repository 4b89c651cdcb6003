"""Corrections: pictures that a network read wrong, with the right label, kept in a database when somebody says so."""
