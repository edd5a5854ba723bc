//go:build long

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// allowScripts says whether pages may run scripts. What the test itself evaluates runs
// in any case, but waits forever for a timer.
func (b *tab) allowScripts(allow bool) {
	b.t.Helper()
	b.do("allow or forbid scripts", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !allow})
		return err
	}))
}

// read makes the browser ask for pages in a language.
func (b *tab) read(language string) {
	b.t.Helper()
	b.language = language
	b.do("read "+language, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
			Headers: network.Headers{"Accept-Language": language},
		})
		return err
	}))
}

// prefer emulates a color scheme, light or dark.
func (b *tab) prefer(scheme string) {
	b.t.Helper()
	b.do("prefer "+scheme, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// wantGood checks that the page says its language, that it fits a telephone, a narrow
// window, and a wide one at 200 % without a horizontal scroll bar, that the keyboard
// reaches everything in it and shows where it is, and that axe finds no fault, by day
// and by night.
func (b *tab) wantGood(name string) {
	b.t.Helper()
	name += "-" + b.language
	look := func(size string) {
		if os.Getenv("SIGNIN_SCREENSHOTS") != "" {
			b.shot(name + "-" + size)
		}
	}
	b.prefer("light")
	b.do("become a narrow window", chromedp.EmulateViewport(320, 568))
	b.wantWidth(name, 320)
	b.do("zoom to 200 %", chromedp.EmulateViewport(640, 400, chromedp.EmulateScale(2)))
	b.wantWidth(name, 640)
	look("zoomed")
	b.do("become a wide window", chromedp.EmulateViewport(1280, 800))
	b.wantWidth(name, 1280)
	look("1280")
	b.wantAccessible(name, axeAll)
	b.wantKeyboard(name)
	b.do("become a telephone", chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	b.wantWidth(name, 390)
	look("390")
	b.prefer("dark")
	look("390-dark")
	b.wantAccessible(name, axeDark)
	if os.Getenv("SIGNIN_SCREENSHOTS") != "" {
		b.do("become a wide window", chromedp.EmulateViewport(1280, 800))
		look("1280-dark")
	}

	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.documentElement.lang"))
	if err != nil || got != b.language {
		b.t.Errorf("%s: got language %q, error %v; want %q", name, got, err, b.language)
	}
}

const (
	// axeAll are the rules of WCAG 2.2, A and AA, and what is good practice.
	axeAll = `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]`
	// axeDark are the rules on which colors and the size of the window bear.
	axeDark = `["color-contrast", "target-size"]`
)

// wantAccessible checks that axe (https://github.com/dequelabs/axe-core) finds no
// fault in the page, and has no doubt.
func (b *tab) wantAccessible(name, rules string) {
	b.t.Helper()
	steps := fmt.Sprintf(`axe.run(document, {runOnly: %s, resultTypes: ["violations", "incomplete"]}).then(found =>
		found.violations.concat(found.incomplete).flatMap(rule => rule.nodes.map(node =>
			rule.id + ": " + node.html + "\n" + (node.failureSummary || rule.help))))`, rules)
	loaded, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("typeof axe === 'object'"))
	if err == nil && !loaded {
		_, err = chromedp.Run(b.ctx, chromedp.Evaluate[chromedp.Void](axe(b.t)))
	}
	if err != nil {
		b.t.Fatalf("%s: load axe: %v", name, err)
	}
	b.allowScripts(true)
	defer b.allowScripts(false)
	faults, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](steps, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: run axe: %v", name, err)
	}
	for _, fault := range faults {
		b.t.Errorf("%s: axe finds %s", name, fault)
	}
}

func axe(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("%v; run npm ci in internal/interop", err)
	}
	return string(source)
}

// focusable is all that the keyboard must reach.
const focusable = `a[href], button, input, summary, [tabindex]`

// focus is what the keyboard is at: its place among all that is focusable, or -1.
type focus struct {
	Place, Of int
	HTML      string
	Visible   bool // with a line around it that the window does not cut off
}

// tabOn presses the Tab key, and returns where that leads.
func (b *tab) tabOn() focus {
	b.t.Helper()
	b.do("press Tab", chromedp.KeyEvent(kb.Tab))
	raw, err := chromedp.Run(b.ctx, chromedp.Evaluate[json.RawMessage](fmt.Sprintf(`(() => {
		const all = [...document.querySelectorAll(%q)].filter(e => e.checkVisibility());
		const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
		const around = parseFloat(style.outlineWidth) + parseFloat(style.outlineOffset);
		return {Place: all.indexOf(at), Of: all.length, HTML: at.outerHTML.slice(0, 200),
			Visible: style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2 &&
				box.width > 0 && box.left >= around && box.right <= innerWidth - around &&
				(box.top >= around || box.height > innerHeight)};
	})()`, focusable)))
	var at focus
	if err == nil {
		err = json.Unmarshal(raw, &at)
	}
	if err != nil {
		b.t.Fatalf("find the focus: %v", err)
	}
	return at
}

// wantKeyboard checks that Tab leads to everything in the order of the page.
func (b *tab) wantKeyboard(name string) {
	b.t.Helper()
	// From where a page begins, also when the browser has focused a field of it.
	b.do("leave the page", chromedp.Evaluate[chromedp.Void](`
		document.body.tabIndex = -1;
		document.body.focus();
		document.body.removeAttribute("tabindex");`))
	for place := 0; ; place++ {
		at := b.tabOn()
		if place >= at.Of {
			return
		}
		if at.Place != place {
			b.t.Errorf("%s: Tab leads to %q, number %d of %d; want number %d", name, at.HTML, at.Place+1, at.Of, place+1)
			return
		}
		if !at.Visible {
			b.t.Errorf("%s: nothing shows that the keyboard is at %s", name, at.HTML)
		}
	}
}

// enter goes to an element by Tab and presses Enter, which leads to another page.
func (b *tab) enter(selector string) {
	b.t.Helper()
	b.tabTo(selector)
	b.load("press Enter at "+selector, chromedp.KeyEvent(kb.Enter))
}

// unfold goes to an element by Tab and presses Enter, which changes the page.
func (b *tab) unfold(selector string) {
	b.t.Helper()
	b.tabTo(selector)
	b.do("press Enter at "+selector, chromedp.KeyEvent(kb.Enter))
}

func (b *tab) tabTo(selector string) {
	b.t.Helper()
	for range 40 {
		b.tabOn()
		at, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](fmt.Sprintf("document.activeElement.matches(%q)", selector)))
		if err != nil {
			b.t.Fatalf("find the focus: %v", err)
		}
		if at {
			return
		}
	}
	b.t.Fatalf("Tab does not lead to %s at %s\n%s", selector, b.at(), b.text())
}
