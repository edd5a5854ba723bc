package provider

import "time"

// TransportCause is transportCause.
func TransportCause(err error) error { return transportCause(err) }

// ParseRetryAfter is parseRetryAfter.
func ParseRetryAfter(value string, now time.Time) time.Duration { return parseRetryAfter(value, now) }
