package sessionstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

// codecError has the methods that securecookie's Error and MultiError share. A
// MultiError contains only errors of codecs, never of a disk or a network.
type codecError interface {
	error
	IsDecode() bool
	IsUsage() bool
	IsInternal() bool
}

// isForged reports whether an error means that the store has not written a cookie, or
// that the cookie's session is gone. Otherwise the store is broken. The error for a
// cookie that is too long is of no kind, since securecookie keeps only its text.
func (st *Store) isForged(r *http.Request, err error) bool {
	var codec codecError
	if errors.As(err, &codec) {
		return codec.IsDecode() || !codec.IsUsage() && !codec.IsInternal()
	}
	// ErrNotExist is also the error for the socket of a server that is down, and for
	// every session's file if the directory is gone. There are many old cookies, so nothing is
	// written to find out which it is, as long as the directory exists.
	var network *net.OpError
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &network) {
		return false
	}
	var file *fs.PathError
	return !errors.As(err, &file) || exists(filepath.Dir(file.Path)) || st.accepts(r)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// mayBeRefusal reports whether an error may mean that a value is too long for the
// store. Neither securecookie nor other stores have a kind of error for that, so it
// is every error that is not of a disk, a network or a context.
func mayBeRefusal(err error) bool {
	var file *fs.PathError
	var network *net.OpError
	return !errors.As(err, &file) && !errors.As(err, &network) && !errors.Is(err, io.EOF) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// failure returns an error that says what a store failed to do, which kind it is,
// and which directory it is in; nil if err is nil. It cuts off a file's name, since
// that is the session's key in the store and the error goes to a log.
func (st *Store) failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = &fs.PathError{Op: path.Op, Path: filepath.Dir(path.Path), Err: path.Err}
	}
	return fmt.Errorf("signin: %s the session store (%s): %w", doing, st.kind, err)
}
