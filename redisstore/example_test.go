package redisstore_test

import (
	"log"
	"net/http"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/gosignin/signin"
	"github.com/gosignin/signin/redisstore"
)

// An application with several replicas, which also keeps its sessions on Redis.
func Example() {
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:                 []string{"127.0.0.1:6379"},
		Username:              "signin",
		Password:              os.Getenv("REDIS_PASSWORD"),
		ContextTimeoutEnabled: true, // or a Redis that hangs holds up every request
		DialerRetries:         1,    // or a Redis that is down does so for two seconds
	})
	defer client.Close()
	auth, err := signin.New(signin.Config{
		LogtoEndpoint: os.Getenv("LOGTO_ENDPOINT"),
		ClientID:      os.Getenv("LOGTO_APP_ID"),
		ClientSecret:  os.Getenv("LOGTO_APP_SECRET"),
		BaseURL:       "https://app.example.com",
		Keys:          [][]byte{[]byte(os.Getenv("SIGNIN_KEY"))}, // openssl rand -hex 32, the same for all replicas
		Shared:        redisstore.NewShared(client),              // required with more than one replica
		Store:         redisstore.NewSessions(client),            // only if cookies are too small
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(":8080", auth.WithRoutes(http.NotFoundHandler())))
}
