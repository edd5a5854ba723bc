package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = modulePath

// two are a small table: two rows of the root module, one of another, and one about
// what is not supported.
var two = []section{{"One", []row{
	{"P-one", "does", "here", in("TestConformance", "P-one")},
	{"3.2", "does", "here", append(in("TestCasesTokens", "3.2 exp as text", "3.2 sub"), within("redisstore", ".", "TestOther")...)},
	{"P-later", "does", "not yet", nil},
}}}

func (e event) line() string {
	b, _ := json.Marshal(e)
	return string(b) + "\n"
}

// ran are the lines of a test, with an action at its end.
func ran(pkg, test, action string) string {
	return event{Action: "run", Package: pkg, Test: test}.line() +
		event{Action: "output", Package: pkg, Test: test, Output: "said by " + test + "\n"}.line() +
		event{Action: action, Package: pkg, Test: test}.line()
}

// right is a run in which every row of two holds.
func right() []string {
	return []string{
		event{Action: "start", Package: root}.line(),
		ran(root, "TestConformance", "pass"),
		ran(root, "TestConformance/P-one", "pass"),
		ran(root, "TestConformance/P-one/in_a_browser_of_nobody", "pass"),
		ran(root, "TestCasesTokens", "pass"),
		ran(root, "TestCasesTokens/3.2_exp_as_text", "pass"),
		ran(root, "TestCasesTokens/3.2_sub_of_300_characters", "pass"),
		ran(root, "TestSomethingElse", "pass"),
		ran(root, "TestSomethingElse/P-no_id", "skip"),
		event{Action: "pass", Package: root}.line(),
		ran(root+"/redisstore", "TestOther", "pass"),
	}
}

// attempt runs the program's work on lines, in a folder of its own.
func attempt(t *testing.T, sections []section, lines []string, check bool, document string) (text string, err error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "results.json")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "CONFORMANCE.md")
	if document != "" {
		if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	err = conform(sections, dir, []string{file}, nil, check, &out)
	if said := out.String(); (err == nil) != (said == "CONFORMANCE.md: 2 cases passed, 1 not supported\n") {
		t.Errorf("said %q with error %v; want what passed, or an error", said, err)
	}
	b, _ := os.ReadFile(path)
	return string(b), err
}

func TestWhatPassedIsWrittenAndNothingElseChecks(t *testing.T) {
	t.Parallel()
	text, err := attempt(t, two, right(), false, "")
	if err != nil {
		t.Fatalf("got error %v; want none", err)
	}
	for _, want := range []string{
		"## One\n",
		"| P-one | does | here | passed | `go test . -run '^TestConformance$/^P-one$'` |\n",
		"| 3.2 | does | here | passed | `go test . -run '^TestCasesTokens$/^3.2_exp_as_text'`<br>`go test . -run '^TestCasesTokens$/^3.2_sub'`<br>`go test -C redisstore . -run '^TestOther$'` |\n",
		"| P-later | does | not yet | **not supported** |  |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s; want %s in it", text, want)
		}
	}
	if n := strings.Count(text, "| passed |"); n != 2 {
		t.Errorf("got %d rows that passed; want 2", n)
	}
	if again, err := attempt(t, two, right(), true, text); err != nil || again != text {
		t.Errorf("check: got error %v; want none, and the document left alone", err)
	}
	for name, stale := range map[string]string{"none": "", "another": strings.Replace(text, "passed", "failed", 1), "a byte more": text + "\n"} {
		got, err := attempt(t, two, right(), true, stale)
		if err == nil || !strings.Contains(err.Error(), "write it anew") || got != stale {
			t.Errorf("check of %s: got error %v; want it called stale, and left alone", name, err)
		}
	}
}

// changed is right with lines that contain what replaced; nothing takes them out.
func changed(what, by string) []string {
	lines := right()
	for i := range lines {
		if strings.Contains(lines[i], what) {
			lines[i] = by
		}
	}
	return lines
}

func TestNothingIsSaidToHavePassedThatHasNot(t *testing.T) {
	t.Parallel()
	const text, sub = "TestCasesTokens/3.2_exp_as_text", "TestConformance/P-one/in_a_browser_of_nobody"
	for name, row := range map[string]struct {
		lines []string
		want  string
	}{
		"a test that does not exist":           {changed(text, ""), "row 3.2: no such test: go test . -run '^TestCasesTokens$/^3.2_exp_as_text'"},
		"a test whose function alone has run":  {changed(`"TestConformance/P-one`, ""), "row P-one: no such test"},
		"a test of the same name elsewhere":    {changed(text, ran(root+"/internal/x", text, "pass")), "row 3.2: no such test"},
		"a module that has not run":            {changed("redisstore", ""), "row 3.2: no such test: go test -C redisstore"},
		"a test that was skipped":              {changed(text, ran(root, text, "skip")), "row 3.2: " + root + " " + text + " was skipped"},
		"a test that has failed":               {changed(text, ran(root, text, "fail")), "row 3.2: " + root + " " + text + " failed"},
		"what a failed test has said":          {changed(text, ran(root, text, "fail")), "said by " + text},
		"a subtest that was skipped":           {changed(sub, ran(root, sub, "skip")), "row P-one: " + root + " " + sub + " was skipped"},
		"a subtest that has failed":            {changed(sub, ran(root, sub, "fail")), "row P-one: " + root + " " + sub + " failed"},
		"a test that has not finished":         {changed(text, event{Action: "run", Package: root, Test: text}.line()), text + " did not finish"},
		"one that passed and failed":           {append(right(), ran(root, text, "fail")), text + " failed"},
		"one that passed and was skipped":      {append(right(), ran(root, text, "skip")), text + " was skipped"},
		"another test that has failed":         {append(right(), ran(root, "TestSomething", "fail")), "TestSomething failed\nsaid by TestSomething"},
		"a package that has failed":            {append(right(), event{Action: "fail", Package: root + "/x"}.line()), root + "/x  failed"},
		"a package that has not finished":      {append(right(), event{Action: "start", Package: root + "/x"}.line()), root + "/x  did not finish"},
		"a package that does not build":        {append(right(), event{Action: "build-output", ImportPath: "x", Output: "undefined"}.line(), event{Action: "build-fail", ImportPath: "x"}.line()), "x  failed\nundefined"},
		"an id that is in no row":              {append(right(), ran(root, "TestCasesTokens/3.9_a_new_one", "pass")), "the id 3.9 is not in the table"},
		"an id of the suite that is in no row": {append(right(), ran(root, "TestConformance/P-new", "pass")), "the id P-new is not in the table"},
		"a case that no row names":             {append(right(), ran(root, "TestCasesTokens/3.2_iat", "pass")), "TestCasesTokens/3.2_iat: no row names it"},
		"a case in another module":             {append(right(), ran(root+"/redisstore", "TestCases/3.2_x", "pass")), "no row names it"},
		"a case without an id":                 {append(right(), ran(root, "TestCasesTokens/exp", "pass")), "TestCasesTokens/exp: no id"},
		"a longer id":                          {append(changed(`"TestConformance/P-one`, ""), ran(root, "TestConformance/P-one-and-more", "pass")), "row P-one: no such test"},
		"lines that are not of go test -json":  {append(right(), "ok  \tx\t1s\n"), " lines of go test -json: invalid character"},
		"no lines":                             {nil, "no results"},
		"a line that is cut short":             {append(right(), `{"Action":"pa`), "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := attempt(t, two, row.lines, false, "")
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got error %v; want %q in it", err, row.want)
			}
			if got != "" {
				t.Errorf("got a document; want none written")
			}
		})
	}
}

func TestARowThatAReaderCouldNotUse(t *testing.T) {
	t.Parallel()
	proofs := in("TestConformance", "P-one")
	for name, row := range map[string]struct {
		row  row
		want string
	}{
		"no id":               {row{"", "does", "here", proofs}, "an id and two sentences"},
		"what is no id":       {row{"Q-1", "does", "here", proofs}, "an id and two sentences"},
		"nothing done":        {row{"P-one", "", "here", proofs}, "an id and two sentences"},
		"nothing happens":     {row{"P-one", "does", "", proofs}, "an id and two sentences"},
		"a bar":               {row{"P-one", "a|b", "here", proofs}, "would break the table"},
		"a line break":        {row{"P-one", "does", "a\nb", proofs}, "would break the table"},
		"a test of another's": {row{"3.2", "does", "here", proofs}, "has the id P-one"},
	} {
		sections := append(slices.Clone(two), of("Two", row.row))
		if _, err := attempt(t, sections, right(), false, ""); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got error %v; want %q in it", name, err, row.want)
		}
	}
}

func of(title string, rows ...row) section { return section{title, rows} }

func TestPatternsSelectWhatIsNamed(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		test, pattern string
		yes, no       []string
	}{
		{"TestA/P", "^TestA$/^P$", []string{"TestA/P", "TestA/P/x"}, []string{"TestA", "TestA/P-x", "TestAB/P", "TestB/P"}},
		{"TestA/2.5", "^TestA$/^2.5_", []string{"TestA/2.5_x", "TestA/2.5_x/y"}, []string{"TestA/2.50_x", "TestA/2.5"}},
		{"TestA/6", "^TestA$/^6_", []string{"TestA/6_x"}, []string{"TestA/6.1_x", "TestA/16_x"}},
		{"TestA/2.5 one's (a|b)\\", "^TestA$/^2.5_one.s_.a.b..", []string{"TestA/2.5_one's_(a|b)\\_more"}, []string{"TestA/2.5_ones_(a|b)"}},
		{"TestA/2.5 é", "^TestA$/^2.5_.", []string{"TestA/2.5_é"}, nil},
		{"TestA", "^TestA$", []string{"TestA", "TestA/x"}, []string{"TestAB", "XTestA"}},
	} {
		p := proof{".", ".", row.test}
		if got := p.pattern(); got != row.pattern {
			t.Errorf("%s: got %s; want %s", row.test, got, row.pattern)
		}
		for _, test := range slices.Concat(row.yes, row.no) {
			if got := p.matcher()(test); got != slices.Contains(row.yes, test) {
				t.Errorf("%s, %s: got %v", row.test, test, got)
			}
		}
	}
	if got, want := (proof{"redisstore", "x", "TestA"}).command(), "go test -C redisstore ./x -run '^TestA$'"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestWithoutFilesTheTestsAreRun(t *testing.T) {
	t.Parallel()
	dir, asked := t.TempDir(), map[string]string{}
	test := func(dir, pattern string) ([]byte, error) {
		asked[filepath.Base(dir)] = pattern
		lines := right()
		if filepath.Base(dir) == "redisstore" {
			return []byte(lines[len(lines)-1]), nil
		}
		return []byte(strings.Join(lines[:len(lines)-1], "")), nil
	}
	var out bytes.Buffer
	if err := conform(two, dir, nil, test, false, &out); err != nil {
		t.Fatalf("got error %v; want none", err)
	}
	if got := asked[filepath.Base(dir)]; got != "^(Test(Cases|Conformance).*|TestCasesTokens|TestConformance)$" || asked["redisstore"] != "^(Test(Cases|Conformance).*|TestOther)$" || len(asked) != 2 {
		t.Errorf("got %v; want all that has an id, and what the rows name", asked)
	}
	broken := func(string, string) ([]byte, error) { return nil, errors.New("on purpose") }
	if err := conform(two, dir, nil, broken, false, &out); err == nil || !strings.Contains(err.Error(), "on purpose") {
		t.Errorf("got error %v; want what kept the tests from running", err)
	}
}

func TestGoTestRunsTests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module example.test/m\n\ngo 1.26.0\n",
		"m_test.go": "package m\n\nimport \"testing\"\n\nfunc TestGood(*testing.T) {}\n\nfunc TestBad(t *testing.T) { t.Error(\"bad\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]string{"^TestGood$": "passed", "^TestBad$": "failed"} {
		out, err := goTest(dir, pattern)
		if err != nil {
			t.Fatalf("%s: got error %v; want the results to tell", pattern, err)
		}
		r := newResults()
		if err := r.read(bytes.NewReader(out)); err != nil {
			t.Fatal(err)
		}
		if got := r.at(name{"example.test/m", strings.Trim(pattern, "^$")}).verdict(); got != want {
			t.Errorf("%s: got %s; want %s", pattern, got, want)
		}
	}
	if _, err := goTest(filepath.Join(dir, "nowhere"), "x"); err == nil {
		t.Error("a folder that is not there: got no error; want one")
	}
}

func TestTheProgramsExitStatus(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{"-unknown"}, 2, "flag provided but not defined"},
		{[]string{"-check", filepath.Join(t.TempDir(), "none.json")}, 1, "none.json"},
		{nil, 1, "no such test"},
	} {
		var out, err bytes.Buffer
		test := func(string, string) ([]byte, error) { return []byte(right()[0] + right()[9]), nil }
		if got := run(row.args, t.TempDir(), test, &out, &err); got != row.want || !strings.Contains(err.String(), row.says) || out.Len() > 0 {
			t.Errorf("%v: got %d, %q; want %d, %q", row.args, got, err.String(), row.want, row.says)
		}
	}
}

// all is a run in which every test has passed that the table names.
func all() []byte {
	var lines strings.Builder
	for _, s := range table {
		for _, row := range s.rows {
			for _, p := range row.proofs {
				name := strings.ReplaceAll(p.test, " ", "_")
				if strings.HasSuffix(p.pattern(), "_") {
					name += "_x"
				}
				lines.WriteString(ran(p.importPath(), name, "pass"))
			}
		}
	}
	return []byte(lines.String())
}

// The document in the tree says what the table does. That what it says is true is for
// the program itself to find out.
func TestTheDocumentInTheTreeIsThatOfTheTable(t *testing.T) {
	t.Parallel()
	have, err := os.ReadFile(filepath.Join("..", "..", document))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, document), have, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, wrong bytes.Buffer
	test := func(string, string) ([]byte, error) { return all(), nil }
	if got := run([]string{"-check"}, dir, test, &out, &wrong); got != 0 {
		t.Errorf("got %d, %s; want 0", got, &wrong)
	}
	if want := fmt.Sprintf("%s: %d cases", document, strings.Count(string(have), "| passed |")); !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %q; want %q", out.String(), want)
	}
}

// Every module of the plans and every numbered sentence of the list of cases is there.
func TestEveryCaseIsInTheTable(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, s := range table {
		for _, row := range s.rows {
			known[row.id] = true
		}
	}
	for section, last := range map[int]int{2: 9, 3: 6, 4: 9, 5: 12, 7: 5, 8: 3, 9: 5} {
		for n := 1; n <= last; n++ {
			if id := fmt.Sprintf("%d.%d", section, n); !known[id] {
				t.Errorf("got no row for %s", id)
			}
		}
	}
	for _, id := range strings.Fields(modules) {
		if !known[id] {
			t.Errorf("got no row for %s", id)
		}
	}
}

const modules = `6 P P-invalid-iss P-invalid-aud P-nonce-invalid P-missing-sub P-missing-iat P-missing-aud P-kid-absent-single-jwks
	P-kid-absent-multiple-jwks P-idtoken-sig-rs256 P-idtoken-sig-none P-invalid-sig-rs256 P-invalid-sig-es256 P-invalid-sig-hs256
	P-userinfo-invalid-sub P-scope-userinfo-claims P-client-secret-basic P-userinfo-bearer-header P-discovery-openid-config
	P-discovery-jwks-uri-keys P-discovery-issuer-mismatch P-signing-key-rotation-just-before-signing P-signing-key-rotation
	P-refresh-token P-refresh-token-invalid-issuer P-refresh-token-invalid-sub P-rp-init-logout P-rp-init-logout-other-state
	P-rp-init-logout-no-state P-rp-backchannel-rpinitlogout P-rp-backchannel-rpinitlogout-alg-none
	P-rp-backchannel-rpinitlogout-no-event P-rp-backchannel-rpinitlogout-with-nonce P-rp-backchannel-rpinitlogout-wrong-alg
	P-rp-backchannel-rpinitlogout-wrong-aud P-rp-backchannel-rpinitlogout-wrong-event P-rp-backchannel-rpinitlogout-wrong-iss
	P-3rd-party-init-login P-form-post-error`
