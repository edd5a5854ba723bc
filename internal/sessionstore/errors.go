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
// second is made by codecs alone, never by a disk or a network.
type codecError interface {
	error
	IsDecode() bool
	IsUsage() bool
	IsInternal() bool
}

// isForged tells a cookie that the store has not written, or whose session is
// gone, from a store that is broken. A cookie that is too long is of no kind:
// securecookie makes a text of that error.
func (st *Store) isForged(ctx context.Context, err error) bool {
	var codec codecError
	if errors.As(err, &codec) {
		return codec.IsDecode() || !codec.IsUsage() && !codec.IsInternal()
	}
	// A server that is down does not exist either, if it listens on a Unix
	// socket, and no session's file does if its directory is gone.
	var network *net.OpError
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &network) {
		return false
	}
	var file *fs.PathError
	return !errors.As(err, &file) || st.Check(ctx) == nil
}

// mayBeRefusal tells what a store may say of a value that is too long, for which
// neither securecookie nor other stores have a kind of error, from what a disk or
// a network says.
func mayBeRefusal(err error) bool {
	var file *fs.PathError
	var network *net.OpError
	return !errors.As(err, &file) && !errors.As(err, &network) && !errors.Is(err, io.EOF) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// storeError says what was being done when a store failed. A file's name is cut
// off: it is the session's key in the store, and this goes to a log.
func storeError(doing string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = &fs.PathError{Op: path.Op, Path: filepath.Dir(path.Path), Err: path.Err}
	}
	return fmt.Errorf("signin: %s the session store: %w", doing, err)
}
