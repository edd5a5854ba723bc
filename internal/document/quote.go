package document

import "strconv"

// maxQuoted is how much of a value is quoted, in bytes. It is enough for an issuer, and
// too little for a token.
const maxQuoted = 120

// Quote returns a value that another party has sent, for an error or a log: quoted, in
// ASCII without control characters, and cut if it is long. A value that may be a
// secret, such as a code, a nonce or a token, is not for it.
func Quote(value string) string {
	if len(value) > maxQuoted {
		return strconv.QuoteToASCII(value[:maxQuoted]) + "..."
	}
	return strconv.QuoteToASCII(value)
}
