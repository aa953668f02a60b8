"""Text of foreign systems, read and written safely: quoting, escaping, JSON without loss, errors in any form."""
