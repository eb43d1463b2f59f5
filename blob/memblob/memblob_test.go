package memblob_test

import (
	"testing"

	"posthaste/blob"
	"posthaste/blob/blobtest"
	"posthaste/blob/memblob"
)

func TestContract(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return memblob.New() })
}
