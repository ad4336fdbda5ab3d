#include "contract.h"

/* A token cannot be passed on to clients: it is good for more than one object. */
int main(void)
{
    static const struct contract_driver driver = {
        .provider = "azure",
        .server = "azurite_server.mjs",
        .uses_sas = true,
        .has_no_uploads = true,
        .crowd = 40, /* contract_azure turns the pages */
    };

    return contract_run(&driver);
}
