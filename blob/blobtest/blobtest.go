// Package blobtest is the meaning of [blob.Store]: every driver passes [Run].
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"posthaste/blob"
)

// Run tests the contract on empty stores that open makes.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for _, test := range []struct {
		claim string
		run   func(*testing.T, blob.Store)
	}{
		{"what is put can be read at any offset", readAnywhere},
		{"an empty blob is a blob", emptyBlob},
		{"what is missing is not found", missing},
		{"content of another size is refused and not kept", wrongSize},
		{"a reader that fails leaves nothing", failingReader},
		{"an ended context leaves nothing", endedContext},
		{"a name that is none is refused", badName},
		{"deleting twice is no error", deleteTwice},
		{"an open blob can be read after it is deleted", readDeleted},
		{"blobs are listed in order of making", listInOrder},
		{"an error of fn ends the listing", listStops},
		{"many at once do not disturb each other", concurrent},
	} {
		t.Run(test.claim, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func nameAt(seconds int64, content []byte) blob.Name {
	return blob.NewName(time.Unix(seconds, 0), sha256.Sum256(content))
}

func put(t *testing.T, s blob.Store, seconds int64, content []byte) blob.Name {
	t.Helper()
	name := nameAt(seconds, content)
	if err := s.Put(t.Context(), name, bytes.NewReader(content), int64(len(content))); err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
	return name
}

func read(ctx context.Context, s blob.Store, name blob.Name) ([]byte, error) {
	r, err := s.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
}

func wantNothing(t *testing.T, s blob.Store, name blob.Name) {
	t.Helper()
	if got, err := read(t.Context(), s, name); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("read %s: %d bytes, %v; want ErrNotFound", name, len(got), err)
	}
	if err := s.List(t.Context(), func(name blob.Name, _ int64) error { return fmt.Errorf("listed %s", name) }); err != nil {
		t.Error(err)
	}
}

func readAnywhere(t *testing.T, s blob.Store) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	name := put(t, s, 1, content)
	got, err := read(t.Context(), s, name)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("read %d bytes, %v; want the %d put", len(got), err, len(content))
	}
	r, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	part := make([]byte, 4)
	if n, err := r.ReadAt(part, 123_458); n != 4 || err != nil || string(part) != "2345" {
		t.Errorf("ReadAt: %d, %v, %q; want 2345", n, err, part)
	}
	if n, err := r.ReadAt(part, int64(len(content))-1); n != 1 || err != io.EOF {
		t.Errorf("ReadAt over the end: %d, %v; want 1, EOF", n, err)
	}
}

func emptyBlob(t *testing.T, s blob.Store) {
	got, err := read(t.Context(), s, put(t, s, 1, nil))
	if err != nil || len(got) != 0 {
		t.Errorf("read %q, %v; want nothing, nil", got, err)
	}
}

func missing(t *testing.T, s blob.Store) { wantNothing(t, s, nameAt(1, nil)) }

func wrongSize(t *testing.T, s blob.Store) {
	for _, size := range []int64{0, 9, 11, 1 << 20} {
		name := nameAt(1, nil)
		err := s.Put(t.Context(), name, strings.NewReader("ten octets"), size)
		if !errors.Is(err, blob.ErrSize) {
			t.Errorf("10 bytes announced as %d: %v; want ErrSize", size, err)
		}
		wantNothing(t, s, name)
	}
}

func failingReader(t *testing.T, s blob.Store) {
	gone := errors.New("the client is gone")
	name := nameAt(1, nil)
	r := io.MultiReader(strings.NewReader("some"), iotest.ErrReader(gone))
	if err := s.Put(t.Context(), name, r, 100); !errors.Is(err, gone) {
		t.Errorf("Put: %v; want %v", err, gone)
	}
	wantNothing(t, s, name)
}

func endedContext(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	name := nameAt(1, nil)
	if err := s.Put(ctx, name, strings.NewReader("abc"), 3); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v; want context.Canceled", err)
	}
	wantNothing(t, s, name)
}

func badName(t *testing.T, s blob.Store) {
	for _, name := range []blob.Name{"", "../../etc/passwd", "x", blob.Name(strings.Repeat("a", 4096))} {
		if err := s.Put(t.Context(), name, strings.NewReader("abc"), 3); !errors.Is(err, blob.ErrName) {
			t.Errorf("Put %.20q: %v; want ErrName", name, err)
		}
		if _, err := s.Open(t.Context(), name); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Open %.20q: %v; want ErrNotFound", name, err)
		}
		if err := s.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete %.20q: %v; want nil", name, err)
		}
	}
}

func deleteTwice(t *testing.T, s blob.Store) {
	name := put(t, s, 1, []byte("abc"))
	for range 2 {
		if err := s.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete: %v", err)
		}
		wantNothing(t, s, name)
	}
}

func readDeleted(t *testing.T, s blob.Store) {
	name := put(t, s, 1, []byte("abc"))
	r, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := s.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || string(got) != "abc" {
		t.Errorf("read %q, %v; want abc", got, err)
	}
}

func listInOrder(t *testing.T, s blob.Store) {
	const day = 24 * 60 * 60
	times := []int64{900 * day, 2, 1_000_000 * day, 1, 30 * day, 31 * day}
	for _, at := range times {
		put(t, s, at, []byte("abc"))
	}
	var last time.Time
	n := 0
	err := s.List(t.Context(), func(name blob.Name, size int64) error {
		if name.Time().Before(last) || size != 3 {
			t.Errorf("%s (made %v, %d bytes) after one made %v; want ascending, 3 bytes", name, name.Time(), size, last)
		}
		last = name.Time()
		n++
		return nil
	})
	if err != nil || n != len(times) {
		t.Errorf("listed %d blobs, %v; want %d", n, err, len(times))
	}
}

func listStops(t *testing.T, s blob.Store) {
	put(t, s, 1, nil)
	put(t, s, 2, nil)
	enough := errors.New("enough")
	n := 0
	err := s.List(t.Context(), func(blob.Name, int64) error { n++; return enough })
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("List: %v after %d blobs; want %v after 1", err, n, enough)
	}
}

func concurrent(t *testing.T, s blob.Store) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			content := bytes.Repeat([]byte{byte(i)}, 10_000+i)
			for range 5 {
				name := nameAt(int64(i), content)
				if err := s.Put(t.Context(), name, bytes.NewReader(content), int64(len(content))); err != nil {
					t.Error(err)
				}
				if got, err := read(t.Context(), s, name); err != nil || !bytes.Equal(got, content) {
					t.Errorf("read %d bytes, %v; want %d", len(got), err, len(content))
				}
				if err := s.Delete(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantNothing(t, s, nameAt(1, nil))
}
