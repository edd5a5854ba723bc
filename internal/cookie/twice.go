package cookie

import "strings"

// Twice reports whether a request has two cookies of a name, or of its second part, with
// different values. The browser has them for different paths or domains, and a
// Set-Cookie replaces only one of them: another sign-in does not help.
func Twice(lines []string, name string) bool {
	var values [2]string
	var seen [2]bool
	twice := false
	Scan(lines, name, func(found, value string) bool {
		part := 0
		switch found {
		case Second(name):
			part = 1
		case name:
		default:
			return true
		}
		twice = seen[part] && values[part] != value
		values[part], seen[part] = value, true
		return !twice
	})
	return twice
}

// MayHave reports whether a Cookie header may have a cookie of a name: if it does not
// say so, no browser has sent one. It takes a fraction of the time of a scan, and most
// requests that are refused have none.
func MayHave(lines []string, name string) bool {
	left := maxCookies
	for _, line := range lines {
		for ; line != "" && left > 0; left-- {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			value, named := strings.CutPrefix(strings.TrimPrefix(pair, " "), name)
			if named && strings.HasPrefix(value, "=") {
				return true
			}
		}
	}
	return false
}
