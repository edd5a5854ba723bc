package cookie

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
