package dirblob_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posthaste/blob"
	"posthaste/blob/blobtest"
	"posthaste/blob/dirblob"
)

func open(t *testing.T, dir string) *dirblob.Store {
	t.Helper()
	s, err := dirblob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, filepath.Join(t.TempDir(), "blobs")) })
}

func TestBlobsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	name := blob.NewName(time.Unix(1e9, 0), [blob.HashSize]byte{})
	if err := open(t, dir).Put(t.Context(), name, strings.NewReader("abc"), 3); err != nil {
		t.Fatal(err)
	}
	r, err := open(t, dir).Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Size() != 3 {
		t.Errorf("size %d after reopening, want 3", r.Size())
	}
}

func TestOpenRemovesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	half := filepath.Join(dir, "new", "half")
	if err := os.WriteFile(half, []byte("half a blob"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("half a blob is still there: %v", err)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, "000000"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "000000", "README"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := s.List(t.Context(), func(name blob.Name, _ int64) error {
		t.Errorf("listed %q", name)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
