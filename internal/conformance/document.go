package main

import (
	"bytes"
	"fmt"
	"strings"
)

func (p proven) summary() string {
	return fmt.Sprintf("%d cases passed, %d not supported", p.cases, p.missing)
}

// document is CONFORMANCE.md. It says nothing of when and where the tests have run,
// so that it changes only if what is proven does.
func (p proven) document() []byte {
	var b bytes.Buffer
	b.WriteString(introduction)
	for _, s := range p.sections {
		fmt.Fprintf(&b, "\n## %s\n\n| id | what is done | what happens here | result | proof |\n|---|---|---|---|---|\n", s.title)
		for _, row := range s.rows {
			result, commands := "passed", make([]string, len(row.proofs))
			if len(row.proofs) == 0 {
				result = "**not supported**"
			}
			for i, proof := range row.proofs {
				commands[i] = "`" + proof.command() + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", row.id, row.does, row.here, result, strings.Join(commands, "<br>"))
		}
	}
	return b.Bytes()
}

const introduction = `# What this package has been tested on

Written by ` + "`go run ./internal/conformance`" + `; do not edit it. Each row is proven by the tests beside it: the program
writes "passed" only after all of them have run and passed, and the project's CI fails if a row's test is missing, skipped or
failing, or if a test with an id has no row.

The ids: **P** and **P-…** stand for the modules of the OpenID Foundation's relying-party conformance suite, ` + "`oidcc-client-test`" + `
and ` + "`oidcc-client-test-…`" + `; **P-fapi2-…** for ` + "`fapi2-security-profile-id2-client-test-…`" + `. These are the project's own tests, written
after what each module's provider does; the package has not been certified by the Foundation. The numbers are the project's list of
cases.

"Rejected" always means: a typed error, told and logged once with nothing secret in it; no session left behind; and whoever
was signed in before still is. 502 is for a provider whose word is not to be believed, 400 for a response that nobody here has
asked for, 503 for what may be better later.
`
