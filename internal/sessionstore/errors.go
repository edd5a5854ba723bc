package sessionstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"
)

// codecError is what securecookie's Error and MultiError have in common. The
// second is made of codecs' errors alone, never of a disk's or a network's.
type codecError interface {
	error
	IsDecode() bool
	IsUsage() bool
	IsInternal() bool
}

// isForged tells a cookie that the store has not written, or whose session is
// gone, from a store that is broken. The error for a cookie that is too long is
// of no kind, since securecookie makes a text of it.
func (st *Store) isForged(ctx context.Context, err error) bool {
	var codec codecError
	if errors.As(err, &codec) {
		return codec.IsDecode() || !codec.IsUsage() && !codec.IsInternal()
	}
	// The socket of a server that is down does not exist either, and no session's
	// file does if its directory is gone.
	var network *net.OpError
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &network) {
		return false
	}
	var file *fs.PathError
	return !errors.As(err, &file) || st.Check(ctx) == nil
}

// mayBeRefusal tells what a store may say of a value that is too long from what
// a disk or a network says. Neither securecookie nor other stores have a kind
// of error for the first.
func mayBeRefusal(err error) bool {
	var file *fs.PathError
	var network *net.OpError
	return !errors.As(err, &file) && !errors.As(err, &network) && !errors.Is(err, io.EOF) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// storeError says what a store failed to do; nil if err is. A file's name is
// cut off: it is the session's key in the store, and this goes to a log.
func storeError(doing string, err error) error {
	if err == nil {
		return nil
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = &fs.PathError{Op: path.Op, Path: filepath.Dir(path.Path), Err: path.Err}
	}
	return fmt.Errorf("signin: %s the session store: %w", doing, err)
}
