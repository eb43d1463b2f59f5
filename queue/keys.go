package queue

import (
	"encoding/binary"
	"strconv"
	"strings"

	"posthaste/blob"
	"posthaste/kv"
	"posthaste/mail"
)

// originSize is how many bytes of the SHA-256 over (parent, action, recipient) name an origin.
const originSize = 16

// queueIDDigits are the digits of a mail.QueueID in order of their value, five bits each.
const queueIDDigits = "0123456789abcdefghjkmnpqrstvwxyz"

var leaseKey = []byte("l")

func shardPartition(shard int) kv.Partition {
	return kv.Partition("queue/" + strconv.Itoa(shard))
}

// shardOf returns the low six bits of id. What is no ID is in shard 0, where it is not found.
func shardOf(id mail.QueueID) int {
	if len(id) < 2 {
		return 0
	}
	low := strings.IndexByte(queueIDDigits, id[len(id)-1])
	high := strings.IndexByte(queueIDDigits, id[len(id)-2])
	if low < 0 || high < 0 {
		return 0
	}
	return (high<<5 | low) % Shards
}

func entryKey(id mail.QueueID) []byte { return append([]byte{'e'}, id...) }

func originKey(origin string) []byte { return append([]byte{'k'}, origin...) }

func blobKey(name blob.Name) []byte { return append([]byte{'R'}, name...) }

// dueKey sorts by due, in Unix milliseconds.
func dueKey(due int64, id mail.QueueID) []byte {
	key := make([]byte, 1, 1+8+len(id))
	key[0] = 'd'
	key = binary.BigEndian.AppendUint64(key, uint64(due))
	return append(key, id...)
}

func parseDueKey(key []byte) (due int64, id mail.QueueID, ok bool) {
	if len(key) < 1+8 {
		return 0, "", false
	}
	return int64(binary.BigEndian.Uint64(key[1:])), mail.QueueID(key[9:]), true
}

// finishedKey sorts derived mail by when it was finished, in Unix milliseconds.
func finishedKey(finished int64, origin string) []byte {
	key := make([]byte, 1, 1+8+originSize)
	key[0] = 'f'
	key = binary.BigEndian.AppendUint64(key, uint64(finished))
	return append(key, origin...)
}
