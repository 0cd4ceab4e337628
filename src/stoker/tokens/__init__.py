"""Count tokens and make a request fit its budget. Pure: values in, values out."""
