// Package blob is the contract of the store for large immutable content: what is too big to be a
// body of kv. Drivers are siblings below (dirblob, s3blob, memblob); blobtest is the meaning of this
// contract in tests.
//
// A blob's name is made once by [NewName], written once and never reused. Put returns nil only after
// the blob would survive a power cut, and always before a commit names it. Blobs that no partition
// names are found by the store's sweep and deleted after a grace time.
package blob

import (
	"context"
	"errors"
	"io"
	"time"
)

// A Name names one blob: time, random and hash, in characters safe for a file and an S3 key.
type Name string

var (
	// ErrNotFound is the answer where there is no such blob.
	ErrNotFound = errors.New("blob: not found")
	// ErrFull means that there is no space for the blob. Nothing was kept.
	ErrFull = errors.New("blob: no space left")
	// ErrSize means that the content was shorter or longer than announced. Nothing was kept.
	ErrSize = errors.New("blob: content is not of the size announced")
	// ErrName means that a name is not one of NewName.
	ErrName = errors.New("blob: bad name")
)

// A Store keeps blobs. Its methods may be called at the same time.
type Store interface {
	// Put stores the size bytes of r under name, durably, or nothing. It reads r to EOF and returns
	// ErrSize when that comes early or late.
	Put(ctx context.Context, name Name, r io.Reader, size int64) error
	// Open returns the blob for reading at any offset, and its size.
	Open(ctx context.Context, name Name) (Reader, error)
	// Delete removes the blob; removing what is not there is no error.
	Delete(ctx context.Context, name Name) error
	// List calls fn for every blob in order of name, which is order of making to the second. Blobs
	// put or deleted meanwhile may be told or not.
	List(ctx context.Context, fn func(name Name, size int64) error) error
}

// A Reader reads one blob.
type Reader interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Time returns when name was made, to the second, or zero for a name that is none.
func (n Name) Time() time.Time { return parseTime(n) }
