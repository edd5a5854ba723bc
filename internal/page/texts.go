package page

import (
	"fmt"
	"strings"

	"golang.org/x/text/language"
)

// Language is a language in which pages are written, a BCP 47 tag. The zero value is
// English.
type Language string

const (
	English Language = "en"
	Korean  Language = "ko"
	Thai    Language = "th"
)

// texts are the texts of one language.
type texts struct {
	pages    map[string]sentence // by key
	labels   map[string]string   // of actions
	notSaved string              // for a person whose form was refused before the application got it
}

// sentence is what a page says. At most one %s is replaced by a value.
type sentence struct{ title, text string }

var (
	written = map[Language]texts{English: english, Korean: korean, Thai: thai}
	// languages are in the order of matcher. The first is for readers of all others.
	languages = [...]Language{English, Korean, Thai}
	matcher   = language.NewMatcher([]language.Tag{language.English, language.Korean, language.Thai})
)

func (in Language) orEnglish() Language {
	if _, ok := written[in]; ok {
		return in
	}
	return English
}

// Choose returns the language for a reader whose browser sends a value of
// Accept-Language (https://www.rfc-editor.org/rfc/rfc9110#section-12.5.4). The caller
// limits its size.
func Choose(acceptLanguage string) Language {
	tags, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil { // of one element; the first that can be understood alone decides
		for element := range strings.SplitSeq(acceptLanguage, ",") {
			alone, _, _ := language.ParseAcceptLanguage(element)
			tags = append(tags, alone...)
		}
	}
	_, i, _ := matcher.Match(tags...)
	return languages[i]
}

// Keys of pages that say more than a code does. An application has codes of its own,
// and none of them is likely to be one of these. People know no scopes and no IDs of
// organizations, so no text names one.
const (
	MissingRole         = "forbidden: role"           // takes the role, a word of the application's own
	MissingOrganization = "not_member"                // the page of this code
	MissingPermission   = "forbidden: permission"     // a scope
	NotConfirmed        = "step_up_failed: signed in" // signed in, but not in the way that a page needs
	SignInRefused       = "forbidden: sign-in"        // by the application; also offers another account
	OtherAddress        = "sign_in_expired: address"  // takes the URL at which a sign-in works
	CookiesOf           = "cookie_conflict: host"     // takes the host name
)

// For returns the page for a code, or for one of the keys above, without URLs. An
// unknown key has no status, and the texts of "internal". value is for a key that
// takes one.
func For(in Language, key string, value ...any) Page {
	in = in.orEnglish()
	o, known := outlines[key]
	if !known {
		key, o = "internal", outline{0, outlines["internal"].steps}
	}
	said := written[in].pages[key]
	p := Page{Status: o.status, Language: in, Title: said.title, Text: said.text}
	if len(value) > 0 {
		p.Text = fmt.Sprintf(said.text, value...)
	}
	for _, s := range o.steps {
		p.Actions = append(p.Actions, Action{Text: written[in].labels[s.label], Method: s.method, Way: s.way})
	}
	return p
}

// NotSaved returns the page for a person whose form was refused before the
// application got it.
func (p Page) NotSaved() Page {
	p.Text += " " + written[p.Language.orEnglish()].notSaved
	return p
}
