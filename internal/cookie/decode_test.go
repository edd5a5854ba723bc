package cookie_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/gosignin/signin/internal/cookie"
)

func TestAppendDecodedReadsWhatBase64Wrote(t *testing.T) {
	t.Parallel()
	for n := range 300 {
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i*37 + n)
		}
		text := base64.RawURLEncoding.EncodeToString(want)
		got, err := cookie.AppendDecoded([]byte("before"), text)
		if err != nil || !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Fatalf("%d bytes: got %x, %v; want %x", n, got, err, want)
		}
		if cookie.DecodedLen(len(text)) != n {
			t.Fatalf("DecodedLen(%d): got %d; want %d", len(text), cookie.DecodedLen(len(text)), n)
		}
	}
}

func TestAppendDecodedRefuses(t *testing.T) {
	t.Parallel()
	for _, size := range []int{2, 3, 4, 7, 8, 11, 16, 18, 19} {
		good := strings.Repeat("A", size)
		for at := range size {
			for _, c := range []byte{0, ' ', '\n', '\r', '=', '+', '/', '.', '@', '[', '`', '{', 0x7f, 0x80, 0xff} {
				text := good[:at] + string([]byte{c}) + good[at+1:]
				if got, err := cookie.AppendDecoded([]byte("b"), text); !errors.Is(err, cookie.ErrEncoding) || string(got) != "b" {
					t.Fatalf("%q: got %q, %v; want ErrEncoding and nothing appended", text, got, err)
				}
			}
		}
	}
	for name, text := range map[string]string{
		"one character":                    "A",
		"one character too many":           "AAAAA",
		"bits beyond the last of one byte": "AB",
		"bits beyond the last of two":      "AAB",
		"padding":                          "AA==",
	} {
		if _, err := cookie.AppendDecoded(nil, text); !errors.Is(err, cookie.ErrEncoding) {
			t.Errorf("%s: got %v; want ErrEncoding", name, err)
		}
	}
}

// FuzzAppendDecoded compares with encoding/base64.
func FuzzAppendDecoded(f *testing.F) {
	f.Add("")
	f.Add("AAECAwQFBgcICQ")
	f.Add("_-_-_-_-_-_-_-_w")
	f.Add("AB")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := cookie.AppendDecoded(nil, text)
		want, wantErr := base64.RawURLEncoding.Strict().DecodeString(text)
		if strings.ContainsAny(text, "\r\n") {
			wantErr = base64.CorruptInputError(0)
		}
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("got error %v; want %v", err, wantErr)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("got %x; want %x", got, want)
		}
	})
}

func BenchmarkAppendDecoded(b *testing.B) {
	text := base64.RawURLEncoding.EncodeToString(make([]byte, 847))
	dst := make([]byte, 0, 1024)
	b.Run("own", func(b *testing.B) {
		for b.Loop() {
			if _, err := cookie.AppendDecoded(dst, text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-base64", func(b *testing.B) {
		strict, in := base64.RawURLEncoding.Strict(), []byte(text)
		for b.Loop() {
			if _, err := strict.Decode(dst[:1024], in); err != nil {
				b.Fatal(err)
			}
		}
	})
}
