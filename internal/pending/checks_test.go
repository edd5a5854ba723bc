package pending_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/pending"
)

// What a key holder of another version may have sealed is no attempt, and no
// reason to panic.
func TestChecksOfWhatIsSealed(t *testing.T) {
	t.Parallel()
	const version, flags = 2, 0
	b, sealing := book(t, start), ring(t, "transaction", "app")
	began := binary.AppendVarint([]byte{version, flags}, start.UnixMilli())
	maxAge := binary.AppendUvarint(slices.Clone(began), 0)
	noNumber := bytes.Repeat([]byte{0xff}, 11)
	good := append(slices.Clone(maxAge), 0, 0, 0, 0, 0)
	find := func(plain []byte) error {
		value := base64.RawURLEncoding.EncodeToString(sealing.Box(b.Name("1x")).Seal(nil, plain))
		_, err := b.Find(request(b.Name("1x")+"="+value), "1x")
		return err
	}
	if err := find(good); err != nil {
		t.Fatalf("got %v; want an attempt", err)
	}
	for name, plain := range map[string][]byte{
		"an earlier version":                append([]byte{version - 1}, good[1:]...),
		"a later version":                   append([]byte{version + 1}, good[1:]...),
		"a beginning that is no number":     append([]byte{version, flags}, noNumber...),
		"a maximum age that is no number":   append(slices.Clone(began), noNumber...),
		"a maximum age without end":         append(binary.AppendUvarint(slices.Clone(began), math.MaxUint64), 0, 0, 0, 0, 0),
		"a part's length that is no number": append(slices.Clone(maxAge), noNumber...),
		"a part longer than the rest":       append(slices.Clone(maxAge), 9, 0, 0, 0, 0, 0),
		"more than an attempt":              append(slices.Clone(good), 0),
	} {
		if err := find(plain); !errors.Is(err, pending.ErrNone) {
			t.Errorf("%s: got %v; want ErrNone", name, err)
		}
	}
}

// One attempt has one text. What is read before the first wrong character may be
// all of it.
func TestChecksOfTheText(t *testing.T) {
	t.Parallel()
	b := book(t, start)
	for length := range 3 {
		a := pending.New(start, false)
		a.ReturnTo = "/" + strings.Repeat("x", length)
		for _, more := range []string{"!", "!!!!", "="} {
			if got, err := b.Find(request(cookie(b, a)+more), a.State); !errors.Is(err, pending.ErrNone) {
				t.Errorf("with %q behind it: got %v, %v; want ErrNone", more, got, err)
			}
		}
	}
}
