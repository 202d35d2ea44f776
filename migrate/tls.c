/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

enum {
	KEY_MIN = 16,
	KEY_MAX = 48,
	KEY_FILE_MAX = 1024,
	REASON_MAX = 256,
};

static const unsigned char psk_cipher[] = { 0x13, 0x02 };	/* TLS_AES_256_GCM_SHA384 */
static const char psk_identity[] = "criu-lite";

struct tls {
	SSL_CTX *context;
	SSL *ssl;
	short waits_for;
	unsigned char key[KEY_MAX];
	size_t key_size;
	char reason[REASON_MAX];
};

/* The last of OpenSSL's errors says what the matter is. */
static void note_reason(struct tls *t)
{
	unsigned long code = ERR_peek_last_error();
	/* Of a session by a key it is always an error. */
	long verified = t->ssl && !t->key_size ? SSL_get_verify_result(t->ssl) : X509_V_OK;

	if (verified != X509_V_OK)
		snprintf(t->reason, sizeof(t->reason), "the peer's certificate: %s",
			 X509_verify_cert_error_string(verified));
	else if (code)
		snprintf(t->reason, sizeof(t->reason), "%s", ERR_reason_error_string(code) ?: "?");
	ERR_clear_error();
}

static int bad_file(struct tls *t, const char *path, struct error *err)
{
	note_reason(t);
	return error_set(err, ERROR_USAGE, 0, "%s: %s", path, t->reason);
}

/* ---- the key that both have ---- */

static SSL_SESSION *psk_session(struct tls *t)
{
	const SSL_CIPHER *cipher = SSL_CIPHER_find(t->ssl, psk_cipher);
	SSL_SESSION *session = SSL_SESSION_new();

	if (session && cipher && SSL_SESSION_set1_master_key(session, t->key, t->key_size) &&
	    SSL_SESSION_set_cipher(session, cipher) &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

static int offer_psk(SSL *ssl, const EVP_MD *digest, const unsigned char **ret_id,
		     size_t *ret_size, SSL_SESSION **ret)
{
	*ret = psk_session(SSL_get_app_data(ssl));
	*ret_id = (const unsigned char *)psk_identity;
	*ret_size = strlen(psk_identity);
	return *ret != NULL;
}

static int find_psk(SSL *ssl, const unsigned char *id, size_t size, SSL_SESSION **ret)
{
	*ret = NULL;
	if (size == strlen(psk_identity) && !memcmp(id, psk_identity, size))
		*ret = psk_session(SSL_get_app_data(ssl));
	return 1;
}

static int digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

static int parse_key(struct tls *t, const char *text, const char *path, struct error *err)
{
	size_t length = strcspn(text, "\r\n"), i;

	for (i = 0; i + 1 < length && t->key_size < KEY_MAX && digit(text[i]) >= 0 &&
		    digit(text[i + 1]) >= 0;
	     i += 2)
		t->key[t->key_size++] = digit(text[i]) << 4 | digit(text[i + 1]);
	if (i == length && t->key_size >= KEY_MIN)
		return 0;
	error_set(err, ERROR_USAGE, 0, "%s: wants a line of %d to %d hexadecimal digits", path,
		  2 * KEY_MIN, 2 * KEY_MAX);
	return error_hint(err, "openssl rand -hex 32 >%s", path);
}

static int read_key(struct tls *t, const char *path, struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[KEY_FILE_MAX] = "";
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) || read_full(fd, text, sizeof(text) - 1) < 0)
		return error_set(err, ERROR_USAGE, errno, "%s", path);
	if (S_ISREG(st.st_mode) && st.st_mode & 077) {
		error_set(err, ERROR_USAGE, 0, "%s: others may read this key", path);
		return error_hint(err, "chmod 600 %s", path);
	}
	r = parse_key(t, text, path, err);
	explicit_bzero(text, sizeof(text));
	return r;
}

/* No certificate will do: a peer without the key finds nothing to agree on. The destination has
 * none to offer, and the source accepts none. */
static int use_key(struct tls *t, const char *path, enum side side, struct error *err)
{
	if (read_key(t, path, err))
		return -1;
	SSL_CTX_set_psk_use_session_callback(t->context, offer_psk);
	SSL_CTX_set_psk_find_session_callback(t->context, find_psk);
	SSL_CTX_set_verify(t->context, side == SIDE_SOURCE ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
			   NULL);
	return 0;
}

/* ---- certificates ---- */

static int use_certificates(struct tls *t, const struct transport_options *o, struct error *err)
{
	if (SSL_CTX_use_certificate_chain_file(t->context, o->tls_certificate) != 1)
		return bad_file(t, o->tls_certificate, err);
	if (SSL_CTX_use_PrivateKey_file(t->context, o->tls_key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(t->context) != 1)
		return bad_file(t, o->tls_key, err);
	if (SSL_CTX_load_verify_locations(t->context, o->tls_ca, NULL) != 1)
		return bad_file(t, o->tls_ca, err);
	SSL_CTX_set_verify(t->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return 0;
}

static int expect_name(struct tls *t, const char *name)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), name);
	SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(t->ssl, name) && SSL_set_tlsext_host_name(t->ssl, name);
}

/* ---- the connection ---- */

static int prepare(struct tls *t, const struct transport_options *o, int socket, enum side side,
		   const char *host, struct error *err)
{
	const char *name = o->tls_name ? o->tls_name : host;

	t->context = SSL_CTX_new(side == SIDE_SOURCE ? TLS_client_method() : TLS_server_method());
	if (!t->context || !SSL_CTX_set_min_proto_version(t->context, TLS1_3_VERSION))
		return error_set(err, ERROR_FAILED, ENOMEM, "TLS");
	/* Every connection is new, and nothing is said that was not asked for. */
	SSL_CTX_set_num_tickets(t->context, 0);
	SSL_CTX_set_session_cache_mode(t->context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(t->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
					     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (o->psk_file ? use_key(t, o->psk_file, side, err) : use_certificates(t, o, err))
		return -1;
	t->ssl = SSL_new(t->context);
	if (!t->ssl || !SSL_set_app_data(t->ssl, t) || !SSL_set_fd(t->ssl, socket) ||
	    (!o->psk_file && name && !expect_name(t, name)))
		return error_set(err, ERROR_FAILED, ENOMEM, "TLS");
	if (side == SIDE_SOURCE)
		SSL_set_connect_state(t->ssl);
	else
		SSL_set_accept_state(t->ssl);
	return 0;
}

/* What is to be done about a result that is not a success: 0 to wait, -1 it is broken. */
static int judge(struct tls *t, int result)
{
	int os_error = errno;

	switch (SSL_get_error(t->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		t->waits_for = POLLIN;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		t->waits_for = POLLOUT;
		return 0;
	case SSL_ERROR_SYSCALL:
		snprintf(t->reason, sizeof(t->reason), "%s",
			 os_error ? strerror(os_error) : "it was closed");
		ERR_clear_error();
		return -1;
	default:
		note_reason(t);
		return -1;
	}
}

static int handshake(struct tls *t, int socket, int timeout_ms, struct error *err)
{
	uint64_t deadline = now_ns() + timeout_ms * 1000000ull;
	int r;

	for (;;) {
		struct pollfd ready = { .fd = socket };
		uint64_t now = now_ns();

		errno = 0;
		r = SSL_do_handshake(t->ssl);
		if (r == 1)
			return 0;
		if (judge(t, r))
			return error_set(err, ERROR_PEER, 0, "TLS: %s", t->reason);
		if (now >= deadline)
			return error_set(err, ERROR_PEER, ETIMEDOUT, "TLS: the peer says nothing");
		ready.events = t->waits_for;
		poll(&ready, 1, (deadline - now) / 1000000 + 1);
	}
}

int tls_begin(struct tls **ret, const struct transport_options *o, int socket, enum side side,
	      const char *host, struct error *err)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		return error_set(err, ERROR_FAILED, ENOMEM, "TLS");
	fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
	if (prepare(t, o, socket, side, host, err)) {
		tls_free(t);
		return -1;
	}
	if (handshake(t, socket, o->timeout_s * 1000, err)) {
		tls_free(t);
		return error_hint(err, o->psk_file ?
					       "both sides want the same key (--psk-file)" :
					       "each side wants a certificate that the other's "
					       "--tls-ca has signed");
	}
	/* Without the key on both sides there was no handshake; but be sure. */
	if (o->psk_file && !SSL_session_reused(t->ssl)) {
		tls_free(t);
		return error_set(err, ERROR_PEER, 0, "TLS: the peer has not got the key");
	}
	*ret = t;
	return 0;
}

ssize_t tls_read(struct tls *t, void *data, size_t size)
{
	size_t got;
	int r;

	errno = 0;
	r = SSL_read_ex(t->ssl, data, size, &got);
	if (r == 1)
		return got;
	if (SSL_get_error(t->ssl, r) == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = judge(t, r) ? EPROTO : EAGAIN;
	return -1;
}

ssize_t tls_write(struct tls *t, const void *data, size_t size)
{
	size_t put;
	int r;

	errno = 0;
	r = SSL_write_ex(t->ssl, data, size, &put);
	if (r == 1)
		return put;
	errno = judge(t, r) ? EPROTO : EAGAIN;
	return -1;
}

short tls_waits_for(const struct tls *t)
{
	return t->waits_for;
}

void tls_say_end(struct tls *t)
{
	SSL_shutdown(t->ssl);
	ERR_clear_error();
}

void tls_reason(const struct tls *t, char *text, size_t size)
{
	strlcpy(text, t->reason, size);
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	SSL_CTX_free(t->context);
	explicit_bzero(t->key, sizeof(t->key));
	free(t);
}
