package store

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"posthaste/kv"
)

// The first byte of packed content says how it is packed.
const (
	packedRaw  = 0
	packedS2   = 1
	packedZstd = 2
)

// zstdFrom is the size from which zstd is worth its time for fresh mail: below it the sync and the
// rest of a delivery cost more than the bytes saved.
const zstdFrom = 8 << 10

// zstdWindow bounds what a decoder of large content needs.
const zstdWindow = 1 << 20

// A codec packs and unpacks content. It belongs to one Store, because encoders hold channels.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newCodec() (*codec, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &codec{encoder, decoder}, nil
}

func (c *codec) close() {
	c.encoder.Close()
	c.decoder.Close()
}

// pack returns content in a form that unpack reads.
func (c *codec) pack(content []byte) []byte {
	var packed []byte
	if len(content) < zstdFrom {
		packed = make([]byte, 1+s2.MaxEncodedLen(len(content)))
		packed[0] = packedS2
		packed = packed[:1+len(s2.Encode(packed[1:], content))]
	} else {
		room := make([]byte, 0, 1+len(content)) // most large mail is base64, which shrinks by a quarter only
		packed = c.encoder.EncodeAll(content, append(room, packedZstd))
	}
	if len(packed) > len(content) {
		packed = append(append(packed[:0], packedRaw), content...)
	}
	return packed
}

// unpack appends the content of size bytes that packed holds to dst.
func (c *codec) unpack(dst, packed []byte, size int64) ([]byte, error) {
	if len(packed) == 0 {
		return nil, fmt.Errorf("empty body: %w", kv.ErrCorrupt)
	}
	if size < 0 || size > maxEmailBytes {
		return nil, fmt.Errorf("body of %d bytes: %w", size, kv.ErrCorrupt)
	}
	have := len(dst)
	dst = slices.Grow(dst, int(size)) // a zstd frame cannot grow past this
	var err error
	switch packed[0] {
	case packedRaw:
		dst = append(dst, packed[1:]...)
	case packedS2:
		if n, lenErr := s2.DecodedLen(packed[1:]); lenErr != nil || int64(n) != size {
			return nil, fmt.Errorf("body has not the %d bytes it should: %w", size, kv.ErrCorrupt)
		}
		dst = dst[:have+int(size)]
		_, err = s2.Decode(dst[have:], packed[1:])
	case packedZstd:
		dst, err = c.decoder.DecodeAll(packed[1:], dst)
	default:
		return nil, fmt.Errorf("body is packed in way %d, which a newer version wrote: %w", packed[0], kv.ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
	}
	if int64(len(dst)-have) != size {
		return nil, fmt.Errorf("body has %d bytes instead of %d: %w", len(dst)-have, size, kv.ErrCorrupt)
	}
	return dst, nil
}
