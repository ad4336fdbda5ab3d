#include "contract.h"

int main(void)
{
    static const struct contract_driver driver = {
        .provider = "azure",
        .server = "azurite_server.mjs",
        .has_urls = true,
        .has_no_uploads = true,
        .crowd = 1100,
    };

    return contract_run(&driver);
}
