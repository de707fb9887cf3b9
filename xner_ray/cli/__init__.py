"""The command line, `xner`. Only this package prints; the functions below it return values and raise UserError."""
