package page

import (
	"maps"
	"slices"
)

// Languages are those in which pages are written.
var Languages = languages[:]

// Written are the keys of the pages, then those of the labels, for which a language has
// texts.
func Written(in Language) (pages, labels []string) {
	return slices.Sorted(maps.Keys(written[in].pages)), slices.Sorted(maps.Keys(written[in].labels))
}
