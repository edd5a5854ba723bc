package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// texts are the texts of the pages in one language, from texts/en.json and its like.
type texts struct {
	Tag   string
	words map[string]string
}

// languages are those of the pages. The first is for people who read none of them.
var languages = []texts{readTexts("en"), readTexts("ko"), readTexts("th")}

var matcher = language.NewMatcher([]language.Tag{language.English, language.Korean, language.Thai})

func readTexts(tag string) texts {
	t := texts{Tag: tag}
	raw, err := files.ReadFile("texts/" + tag + ".json")
	if err == nil {
		err = json.Unmarshal(raw, &t.words)
	}
	if err != nil {
		panic(err) // the file is part of the program
	}
	return t
}

// textsFor returns the texts in the language that a request asks for.
func textsFor(r *http.Request) texts {
	header := r.Header.Get("Accept-Language")
	// If one language in the list is no language, each is looked at by itself.
	_, i := language.MatchStrings(matcher, append([]string{header}, strings.Split(header, ",")...)...)
	return languages[i]
}

// T returns the text of this name, with args in place of its verbs.
func (t texts) T(name string, args ...any) (string, error) {
	text, ok := t.words[name]
	if !ok {
		return "", fmt.Errorf("texts/%s.json has no %q", t.Tag, name)
	}
	if len(args) > 0 {
		text = fmt.Sprintf(text, args...)
	}
	return text, nil
}

// Languages are the choices of the language switch.
func (texts) Languages() []texts { return languages }

// Clock says when something happened, or will.
func (t texts) Clock(at time.Time) string { return t.date("time", at) }

// Day is Clock without the time of day.
func (t texts) Day(at time.Time) string { return t.date("day", at) }

// date fills in the month, of which package time knows the English name only.
func (t texts) date(layout string, at time.Time) string {
	at = at.UTC()
	months := strings.Fields(t.words["months"])
	return strings.Replace(at.Format(t.words[layout]), "{month}", months[at.Month()-1], 1)
}

// InLanguage lets people choose another language than their browser's: a link to
// "?lang=ko" does, and a cookie remembers it. The choice is put into Accept-Language,
// where package signin looks for the language of its own pages.
func InLanguage(s *Settings, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Language, Cookie")
		chosen := r.URL.Query().Get("lang")
		if offered(chosen) {
			http.SetCookie(w, &http.Cookie{Name: "lang", Value: chosen, Path: "/", MaxAge: 365 * 24 * 3600,
				HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(s.BaseURL, "https:")})
		} else if cookie, err := r.Cookie("lang"); err == nil {
			chosen = cookie.Value
		}
		if offered(chosen) {
			r = r.Clone(r.Context()) // the request belongs to the server
			r.Header.Set("Accept-Language", chosen)
		}
		next.ServeHTTP(w, r)
	})
}

func offered(tag string) bool {
	for _, t := range languages {
		if t.Tag == tag {
			return true
		}
	}
	return false
}
