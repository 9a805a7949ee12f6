#include "store/store_settings.h"

#include "base/settings.h"

struct store_redis_options store_redis_options(const struct settings *settings)
{
        return (struct store_redis_options){
                .host = settings->redis_host,
                .port = settings->redis_port,
                .username = settings->redis_username,
                .password = settings->redis_password,
                .database = settings->redis_db,
                .sentinels = settings->redis_sentinels,
                .sentinel_master = settings->redis_sentinel_master,
                .sentinel_password = settings->redis_sentinel_password,
                .tls = settings->redis_tls,
                .tls_ca = settings->redis_tls_ca,
                .tls_certificate = settings->redis_tls_cert,
                .tls_key = settings->redis_tls_key,
                .prefix = settings->redis_prefix,
                .timeout_ms = settings->redis_timeout_ms,
                .replicas = settings->redis_replicas,
        };
}
