// Package form reads the forms of HTML pages, for browsers without a screen.
package form

import (
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// A Form is what a browser sends if the form's first button is pressed.
type Form struct {
	Method, Action string
	Values         url.Values
	button         bool
}

// First returns the first form of a page. Controls may be outside of it.
func First(page string) (Form, bool) {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return Form{}, false
	}
	for node := range root.Descendants() {
		if node.DataAtom != atom.Form {
			continue
		}
		f := Form{Method: strings.ToUpper(attribute(node, "method")), Action: attribute(node, "action"), Values: url.Values{}}
		id := attribute(node, "id")
		for control := range root.Descendants() {
			if within(control, node) || id != "" && attribute(control, "form") == id {
				f.add(control)
			}
		}
		return f, true
	}
	return Form{}, false
}

// add adds a control's value to the form, but only that of the first button.
func (f *Form) add(control *html.Node) {
	switch {
	case control.DataAtom == atom.Button && !f.button:
		f.button = true
	case control.DataAtom != atom.Input:
		return
	}
	if name := attribute(control, "name"); name != "" {
		f.Values.Add(name, attribute(control, "value"))
	}
}

func within(node, ancestor *html.Node) bool {
	for n := range node.Ancestors() {
		if n == ancestor {
			return true
		}
	}
	return false
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
