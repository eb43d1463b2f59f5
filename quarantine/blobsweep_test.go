package quarantine

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"posthaste/blob"
	"posthaste/store"
)

// The sweep of blobs deletes what nothing refers to: it must know of the quarantine's for as long as
// messages are kept, and find what a crash left behind.
func TestTheSweepOfBlobsSparesWhatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.now, w.policy.Keep = time.Now(), 365*24*time.Hour
		mails, err := store.New(store.Config{KV: w.keys, Blobs: w.blobs})
		if err != nil {
			t.Fatal(err)
		}
		defer mails.Close()
		item := w.item(1, "ann@north.test")
		noise := make([]byte, 1<<20)
		rand.NewChaCha8([32]byte{}).Read(noise)
		item.Content = append(item.Content, noise...)
		id := w.put(item)
		lost := w.newRecord(t.Context(), &item)
		if _, err := w.pack(t.Context(), lost, item.Content); err != nil { // and then the power failed
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- mails.Run(t.Context()) }()
		time.Sleep(40 * 24 * time.Hour) // virtual
		if _, content, err := w.load(t.Context(), id); err != nil || !bytes.Equal(content, item.Content) {
			t.Errorf("after 40 days: %d bytes, %v", len(content), err)
		}
		if _, err := w.blobs.Open(t.Context(), lost.Blob); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("what a crash left behind: %v, want it gone", err)
		}
	})
}
