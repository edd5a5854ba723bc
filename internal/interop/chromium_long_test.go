//go:build long

package interop

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	devtools "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// browserPatience is how long one test may use its browser.
const browserPatience = 5 * time.Minute

// A tab is one tab of a test's own Chromium. Only the goroutine of the test may
// use it.
type tab struct {
	t      *testing.T
	ctx    context.Context
	status int64 // of the last page loaded
	// language is what read has set.
	language string

	mu        sync.Mutex
	documents []string // addresses of the pages asked for, redirects included
}

// openBrowser starts a Chromium with an empty profile, which reaches only this
// machine.
func openBrowser(t *testing.T) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("chromium is not installed: %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1000, 800),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
	)
	ctx, cancel := context.WithTimeout(context.Background(), browserPatience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	first := newTab(t, ctx)
	// Without this, Chromium still writes to its directory while the test removes
	// it.
	t.Cleanup(func() { _ = chromedp.Cancel(first.ctx) })
	return first
}

// another opens a second tab of the same browser.
func (b *tab) another() *tab {
	b.t.Helper()
	return newTab(b.t, b.ctx)
}

func newTab(t *testing.T, parent context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent)
	b := &tab{t: t, ctx: ctx}
	b.do("start the browser")
	requests := chromedp.Events(ctx, network.RequestWillBeSent)
	messages := chromedp.Console(ctx)
	var watchers sync.WaitGroup
	watchers.Go(func() {
		for request, err := range requests {
			if err != nil {
				return
			}
			if request.Type == network.ResourceTypeDocument {
				b.mu.Lock()
				b.documents = append(b.documents, request.Request.URL)
				b.mu.Unlock()
			}
		}
	})
	watchers.Go(func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			// The application's own pages must comply with their policy.
			if strings.Contains(message.Text, "Content Security Policy") {
				t.Errorf("the browser complains: %s", message)
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		watchers.Wait()
	})
	return b
}

// do runs steps and ends the test when one fails.
func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// load runs steps that open another page and waits for it.
func (b *tab) load(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	response, err := chromedp.RunResponse(b.ctx, steps...)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	b.status = 0
	if response != nil {
		b.status = response.Status
	}
}

// open opens address as if it were typed.
func (b *tab) open(address string) {
	b.t.Helper()
	b.load("open a page", chromedp.Navigate(address))
}

// goBack goes back several pages at once, as the back button does. It does not wait for a
// response, since the browser may show a page from memory. There is no status then.
func (b *tab) goBack(pages int) {
	b.t.Helper()
	shown := func(e devtools.EventFrameNavigated) bool { return e.Frame.ParentID == "" }
	_, err := chromedp.Run(b.ctx, chromedp.WaitEvent(devtools.FrameNavigated, shown,
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf("history.go(-%d)", pages))))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for loaded := false; err == nil && !loaded; {
		select {
		case <-tick.C:
			// Between two documents this is an error, which does not matter.
			loaded, _ = chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.readyState === "complete"`))
		case <-b.ctx.Done():
			err = b.ctx.Err()
		}
	}
	if err != nil {
		b.t.Fatalf("go back: %v", err)
	}
	b.status = 0
}

// reload is what the key F5 does.
func reload(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	return chromedp.Evaluate[chromedp.Void]("location.reload()")(ctx, t)
}

// press clicks the link or button that says label, which leads to another page.
func (b *tab) press(label string) {
	b.t.Helper()
	b.load("press "+label, chromedp.Click(named(label)))
}

// named finds the link or button whose text, without that of elements in it, is label.
func named(label string) chromedp.Search {
	return chromedp.Search(fmt.Sprintf(`//a[normalize-space(text())=%[1]q] | //button[normalize-space(text())=%[1]q]`, label))
}

// fill types text into the field of this name.
func (b *tab) fill(name, text string) {
	b.t.Helper()
	field := chromedp.CSS(fmt.Sprintf(`input[name=%q]`, name))
	b.do("fill in "+name, chromedp.Clear(field), chromedp.SendKeys(field, text))
}

// text is what the page shows.
func (b *tab) text() string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil {
		b.t.Fatalf("read the page: %v", err)
	}
	return text
}

// at is the address in the address bar.
func (b *tab) at() *url.URL {
	b.t.Helper()
	address, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		b.t.Fatalf("read the address: %v", err)
	}
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// wantPage checks where the tab is, with which status, and what it shows.
func (b *tab) wantPage(address string, status int64, shows ...string) {
	b.t.Helper()
	got := b.at()
	got.RawQuery, got.Fragment = "", ""
	if got.String() != address || b.status != status {
		b.t.Fatalf("the browser is at %s with %d; want %s with %d\n%s", got, b.status, address, status, b.text())
	}
	text := b.text()
	for _, want := range shows {
		if !strings.Contains(text, want) {
			b.t.Errorf("%s shows %q; want %q in it", got.Path, text, want)
		}
	}
}

// shot writes what the tab shows to a PNG for people to look at, into the
// directory SIGNIN_SCREENSHOTS if that is set.
func (b *tab) shot(name string) {
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatalf("take a screenshot: %v", err)
	}
	directory := os.Getenv("SIGNIN_SCREENSHOTS")
	if directory == "" {
		directory = b.t.TempDir()
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, name+".png"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// wantTidy checks that the page fits a telephone and a wide window without a
// horizontal scroll bar, and takes a screenshot of each.
func (b *tab) wantTidy(name string) {
	b.t.Helper()
	b.do("become a telephone", chromedp.EmulateViewport(375, 667, chromedp.EmulateMobile))
	b.wantWidth(name, 375)
	b.shot(name + "-375")
	b.do("become a wide window", chromedp.EmulateViewport(1000, 800))
	b.wantWidth(name, 1000)
	b.shot(name)
}

// wantWidth checks that both the window and the page in it are this wide.
func (b *tab) wantWidth(name string, want int) {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]int]("[innerWidth, document.documentElement.scrollWidth]"))
	if err != nil {
		b.t.Fatalf("measure the page: %v", err)
	}
	if !slices.Equal(got, []int{want, want}) {
		b.t.Errorf("%s: got a window and a page of %d pixels; want %d each", name, got, want)
	}
}

// clickFirstButton presses the button of the page's first form.
var clickFirstButton = chromedp.Click(chromedp.CSS(`form button, form input[type=submit], button[form]`))

// asksForName reports whether the page has a field for a name.
func (b *tab) asksForName() bool {
	b.t.Helper()
	asks, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.querySelector("input[name=login]") !== null`))
	if err != nil {
		b.t.Fatalf("look for a field: %v", err)
	}
	return asks
}

// passProvider answers what the provider at issuer asks until it redirects the
// browser to another site.
func (b *tab) passProvider(issuer, person string) {
	b.t.Helper()
	for range maxHops {
		if !strings.HasPrefix(b.at().String(), issuer+"/") {
			return
		}
		if b.asksForName() {
			b.fill("login", person)
			b.fill("password", "any")
		}
		b.load("press on at the provider", clickFirstButton)
	}
	b.t.Fatalf("%s asks again and again", issuer)
}
