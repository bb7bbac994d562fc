"""Reading specs: JSON with positions, the schema, expressions."""
