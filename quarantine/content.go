package quarantine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/s2"

	"posthaste/blob"
	"posthaste/kv"
)

const (
	maxBody    = 64 << 10  // bytes of packed content that lie in the bucket itself
	maxPackTry = 512 << 10 // bytes of content that are packed to see whether they fit
)

// codecS2 is the first byte of a body: what packed the rest. Blobs are not packed.
const codecS2 = 1

// pack returns the body of content, its ID in r, or stores content in a blob and names it in r.
func (q *Quarantine) pack(ctx context.Context, r *record, content []byte) ([]byte, error) {
	if len(content) <= maxPackTry {
		packed := append([]byte{codecS2}, s2.Encode(nil, content)...)
		if len(packed) <= maxBody {
			r.Body = q.cfg.KV.NewBodyID()
			return packed, nil
		}
	}
	if q.cfg.Blobs == nil {
		return nil, errors.New("the content is too large for a body, and there is no blob store")
	}
	r.Blob = blob.NewName(time.Now(), sha256.Sum256(content))
	return nil, q.cfg.Blobs.Put(ctx, r.Blob, bytes.NewReader(content), int64(len(content)))
}

// load returns record and content of a message, which is nil when it has left.
func (q *Quarantine) load(ctx context.Context, id ID) (r *record, content []byte, err error) {
	var packed []byte
	err = q.cfg.KV.View(ctx, bucketOf(id), func(reader kv.Reader) error {
		if r, err = getRecord(reader, id); err != nil || r.Body == 0 {
			return err
		}
		body, err := reader.Body(r.Body)
		packed = bytes.Clone(body)
		return err
	})
	switch {
	case err != nil || r.Body == 0 && r.Blob == "":
	case r.Blob != "":
		content, err = q.loadBlob(ctx, r)
	default:
		content, err = unpack(packed, r.Size)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("quarantine: %s: %w", id, err)
	}
	return r, content, nil
}

func unpack(packed []byte, size int64) ([]byte, error) {
	if len(packed) == 0 || packed[0] != codecS2 {
		return nil, fmt.Errorf("%w: its content has no known codec", kv.ErrCorrupt)
	}
	if n, err := s2.DecodedLen(packed[1:]); err != nil || int64(n) != size {
		return nil, fmt.Errorf("%w: its content has not the %d bytes that its record names", kv.ErrCorrupt, size)
	}
	content, err := s2.Decode(nil, packed[1:])
	if err != nil {
		return nil, fmt.Errorf("%w: its content: %v", kv.ErrCorrupt, err)
	}
	return content, nil
}

func (q *Quarantine) loadBlob(ctx context.Context, r *record) ([]byte, error) {
	if q.cfg.Blobs == nil {
		return nil, fmt.Errorf("its content is in blob %s, and no blob store is configured", r.Blob)
	}
	reader, err := q.cfg.Blobs.Open(ctx, r.Blob)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	if reader.Size() != r.Size {
		return nil, fmt.Errorf("%w: its blob has %d bytes, not %d", kv.ErrCorrupt, reader.Size(), r.Size)
	}
	content := make([]byte, r.Size)
	if n, err := reader.ReadAt(content, 0); n < len(content) {
		return nil, err
	}
	return content, nil
}

// discardBlob deletes a blob that nothing names. Should this fail, the sweep finds it.
func (q *Quarantine) discardBlob(name blob.Name) {
	if name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := q.cfg.Blobs.Delete(ctx, name); err != nil {
		q.cfg.Log.Warn("quarantine: a blob stays until the sweep", "blob", string(name), "err", err)
	}
}
