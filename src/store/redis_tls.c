#include "store/redis_tls.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"

#if HAVE_HIREDIS_SSL

#include <arpa/inet.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* hiredis' own helper for contexts checks the chain but not the name, so the context is made here. */
struct redis_tls {
        SSL_CTX *context;
        const char *certificate; /* why the other side's was refused; a constant of OpenSSL's */
        char refusal[160];
};

static int tls_on_verified(int fine, X509_STORE_CTX *store)
{
        SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct redis_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

        if (!fine)
                tls->certificate = X509_verify_cert_error_string(X509_STORE_CTX_get_error(store));
        return fine;
}

static int tls_failed(const char *what, const char *name, char *error, size_t error_size)
{
        const char *why = ERR_reason_error_string(ERR_peek_last_error());

        ERR_clear_error();
        snprintf(error, error_size, "%s %s: %s", what, name ? name : "", why ? why : "cannot be used");
        return -EINVAL;
}

static int tls_load(
        SSL_CTX *context, const struct store_redis_options *options, char *error, size_t error_size)
{
        if (options->tls_ca ? SSL_CTX_load_verify_locations(context, options->tls_ca, NULL) != 1
                            : SSL_CTX_set_default_verify_paths(context) != 1)
                return tls_failed("REDIS_TLS_CA", options->tls_ca, error, error_size);
        if (!options->tls_certificate && !options->tls_key)
                return 0;
        if (!options->tls_certificate || !options->tls_key) {
                snprintf(error, error_size, "REDIS_TLS_CERT and REDIS_TLS_KEY go together");
                return -EINVAL;
        }
        if (SSL_CTX_use_certificate_chain_file(context, options->tls_certificate) != 1)
                return tls_failed("REDIS_TLS_CERT", options->tls_certificate, error, error_size);
        if (SSL_CTX_use_PrivateKey_file(context, options->tls_key, SSL_FILETYPE_PEM) != 1)
                return tls_failed("REDIS_TLS_KEY", options->tls_key, error, error_size);
        return 0;
}

int redis_tls_new(
        const struct store_redis_options *options, struct redis_tls **ret_tls, char *error, size_t error_size)
{
        struct redis_tls *tls = calloc(1, sizeof *tls);
        int r;

        if (!tls)
                return error_trace(-ENOMEM);
        tls->context = SSL_CTX_new(TLS_client_method());
        if (!tls->context) {
                redis_tls_free(tls);
                return error_trace(-ENOMEM);
        }
        SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
        SSL_CTX_set_app_data(tls->context, tls);
        SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, tls_on_verified);
        r = tls_load(tls->context, options, error, error_size);
        if (r < 0) {
                redis_tls_free(tls);
                return r;
        }
        *ret_tls = tls;
        return 0;
}

struct redis_tls *redis_tls_free(struct redis_tls *tls)
{
        if (!tls)
                return NULL;
        SSL_CTX_free(tls->context);
        free(tls);
        return NULL;
}

static bool tls_expect_name(SSL *ssl, const char *name)
{
        unsigned char address[sizeof(struct in6_addr)];

        if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
                return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
        return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* hiredis says only that something failed. */
const char *redis_tls_refusal(struct redis_tls *tls)
{
        const char *why = ERR_reason_error_string(ERR_peek_last_error());

        ERR_clear_error();
        if (tls->certificate)
                snprintf(tls->refusal, sizeof tls->refusal, "its TLS certificate is refused: %s",
                        tls->certificate);
        else if (why)
                snprintf(tls->refusal, sizeof tls->refusal, "TLS failed: %s", why);
        else
                return NULL;
        return tls->refusal;
}

int redis_tls_begin(struct redis_tls *tls, redisAsyncContext *context, const char *name)
{
        SSL *ssl = SSL_new(tls->context);

        if (!ssl)
                return error_trace(-ENOMEM);
        tls->certificate = NULL;
        ERR_clear_error();
        if (!tls_expect_name(ssl, name) || redisInitiateSSL(&context->c, ssl) != REDIS_OK) {
                SSL_free(ssl);
                return error_trace(-EPROTO);
        }
        return 0;
}

#else

int redis_tls_new(
        const struct store_redis_options *options, struct redis_tls **ret_tls, char *error, size_t error_size)
{
        (void)options;
        (void)ret_tls;
        snprintf(error, error_size,
                "REDIS_TLS: this mayfly was built with a hiredis that has no TLS; build it with hiredis 1.0 "
                "or "
                "newer and its hiredis_ssl, or let a TLS tunnel such as stunnel stand before Redis");
        return error_trace(-EINVAL);
}

struct redis_tls *redis_tls_free(struct redis_tls *tls)
{
        (void)tls;
        return NULL;
}

int redis_tls_begin(struct redis_tls *tls, redisAsyncContext *context, const char *name)
{
        (void)tls;
        (void)context;
        (void)name;
        return error_trace(-EINVAL);
}

const char *redis_tls_refusal(struct redis_tls *tls)
{
        (void)tls;
        return NULL;
}

#endif
