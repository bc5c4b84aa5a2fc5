"""Tables: data frames of any library, and rows of files, as cells."""
